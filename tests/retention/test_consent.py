"""A machine's signature, which is never consent to deletion.

An attacker with the machine's keys can add needs, and cannot take any away. For Linux.
"""

import sys
from dataclasses import replace

from formats import layout
from formats.documents import envelope
from formats.documents.damage import ArchiveRow, Replaced, Replacement
from formats.documents.manifest import Manifest
from formats.ids import HexDigest, digest, hex_digest
from formats.rules.retention import DAY
from formats.tables import needs
from formats.tables.holdings import Holding
from formats.tables.needs import bitmap
from formats.tables.sections import Section, encode_objects
from importer.vault.points import load_needs
from tests.hostile import forging
from tests.retention.world import HOUR, World, media, three_of_four_go

assert sys.platform == "linux"


def empty_revision(world: World) -> None:
    """Sign the next revision of the only point with the machine's own key; the revision needs nothing."""
    (point,) = world.points()
    root, buckets = needs.encode([])
    assert buckets == {}
    world.memory.put_new(layout.need_name(digest(root)), root)
    lie = replace(point.manifest, revision=point.manifest.revision + 1, needs=HexDigest(hex_digest(root)))
    put_signed(world, layout.manifest_prefix(lie.machine), lie.sequence, lie)


def put_signed(world: World, prefix: str, number: int, document: Manifest | Replacement) -> None:
    data = envelope.sign(document, world.home.identity.signing_key)
    world.memory.put_new(layout.numbered(prefix, number, hex_digest(data)), data)


def offer(world: World, name: str) -> Holding:
    """Offer an impostor in place of an archive, as a captured machine would; return the real holding."""
    its_index, made = forging.impostor(world.memory.get(name), name)
    real, data, index = its_index.archive, bytes(made.data), Section.of(made)
    world.memory.put_new(layout.archive_name(index.archive.name), data)
    for part in encode_objects([its_index, index]):
        world.memory.put_new(layout.index_name(digest(part)), part)
    whole = bitmap(real.records, range(real.records))
    entry = Replaced(archive=ArchiveRow.of(real), by=ArchiveRow.of(index.archive), held=whole)
    identity = world.home.identity
    document = Replacement(
        vault=identity.vault,
        key_id=identity.master.key_id.hex(),
        role="machine",
        created=0,
        copied=False,
        replaced=(entry,),
    )
    put_signed(world, layout.offers_prefix(identity.machine), 1, document)
    return real


def two_days(world: World) -> int:
    """Prune three times, a day apart each, and return the number of deleted objects."""
    deleted = 0
    for _ in range(3):
        world.clock.sleep(DAY + HOUR)
        deleted += world.prune().deleted
    return deleted


def test_a_revision_that_needs_nothing_deletes_nothing(world: World) -> None:
    media(world, "large/one", 1)
    world.backup()
    world.prune()
    before = world.objects("archives")
    needed = load_needs(world.store, world.points()[0].manifest)
    empty_revision(world)
    two_days(world)
    assert world.objects("archives") == before
    (point,) = world.points()
    assert load_needs(world.store, point.manifest) == [], "the machine's last word is told as it is"
    assert {layout.archive_name(need.archive.name) for need in needed} <= set(before)


def test_a_revision_is_gone_with_its_point(world: World) -> None:
    """Keep the needs of an earlier revision no longer than until its point expires."""
    media(world, "large/one", 1)
    world.backup()
    world.prune()
    empty_revision(world)
    (world.source / "large/one").unlink()
    world.clock.sleep(HOUR)
    world.backup()
    world.clock.sleep(4000 * DAY)
    assert two_days(world) > 0


def test_nor_after_the_authority_has_laid_it_into_others(world: World) -> None:
    """Delete nothing after prune has replaced the archive by a copy of its live records.

    The archive that the earlier revision names is gone by then.
    """
    three_of_four_go(world)
    two_days(world)
    two_days(world)
    assert list(world.store.list(layout.REPLACEMENTS)) != []
    before = world.objects("archives")
    empty_revision(world)
    two_days(world)
    two_days(world)
    assert world.objects("archives") == before


def test_an_offer_for_what_is_there_is_not_accepted(world: World) -> None:
    media(world, "large/one", 1)
    world.backup()
    world.prune()
    before = set(world.objects("archives"))
    real = offer(world, largest(world))
    two_days(world)
    assert before <= set(world.objects("archives"))
    assert list(world.store.list(layout.REPLACEMENTS)) == []
    assert world.memory.head(layout.archive_name(real.name)) == real.size


def test_an_offer_accepted_while_the_archive_was_gone_does_not_delete_it_when_it_comes(world: World) -> None:
    media(world, "large/one", 1)
    world.backup()
    world.prune()
    name = largest(world)
    data = world.memory.get(name)
    real = offer(world, name)
    world.memory.delete(name)
    world.prune()
    (signed,) = [n for n, _ in world.store.list(layout.REPLACEMENTS)]
    document = envelope.read(world.memory.get(signed), signed).verify(Replacement, world.vault.key)
    assert not document.copied
    world.memory.put_new(name, data)  # a disk brings it after all
    two_days(world)
    assert world.memory.head(name) == real.size
    assert world.complete()


def largest(world: World) -> str:
    sizes = dict(world.store.list("archives"))
    return max(sizes, key=lambda name: sizes[name])


def test_what_was_whole_once_does_not_become_partial(world: World) -> None:
    """Keep a whole point that a revision calls partial.

    A partial point, which a stopped run left, expires as soon as a whole one follows it.
    """
    media(world, "large/one", 1)
    world.backup()
    world.prune()
    (point,) = world.points()
    (world.source / "large/one").unlink()
    world.clock.sleep(DAY)
    world.backup()
    before = world.objects("archives")
    lie = replace(point.manifest, revision=point.manifest.revision + 1, point_kind="partial")
    put_signed(world, layout.manifest_prefix(lie.machine), lie.sequence, lie)
    two_days(world)
    assert before <= world.objects("archives")
    assert [found.manifest.point for found in world.points()][:1] == [point.manifest.point]
