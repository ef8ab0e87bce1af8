"""The list of mutants: twenty slips that a review could miss, each of which breaks a guarantee.

`python -m tests --mutants` proves that the fast tests notice every one of them. A change to an original line needs
the same change here; the removal of a guarantee removes its fault.
"""

from tests.mutants.fault import Fault

FAULTS = (
    # The facts on which both sides must agree.
    Fault(
        name="signature-unchecked",
        file="formats/documents/envelope.py",
        line="        Ed25519PublicKey.from_public_bytes(public).verify(signature, message)",
        changed="        _ = Ed25519PublicKey.from_public_bytes(public), signature, message",
        breaks="A document counts only if the key that must sign it has signed it.",
        caught_by=("tests/documents/test_envelope.py::test_every_flaw_is_refused_by_its_rule",),
    ),
    Fault(
        name="revision-rolled-back",
        file="formats/view/verifying.py",
        line="            or number not in (None, layout.number_of(name))",
        changed="            or (number or 0) > layout.number_of(name)",
        breaks="An older revision under a higher number does not take the place of the newest one.",
        caught_by=("tests/documents/test_view.py::test_what_another_statement_signed_is_a_strangers",),
    ),
    Fault(
        name="nonce-repeated",
        file="formats/keyed/aead.py",
        line="            nonce = os.urandom(NONCE_SIZE)",
        changed="            nonce = bytes(NONCE_SIZE)",
        breaks="No two records are sealed under one key with one nonce.",
        caught_by=("tests/keyed/test_aead.py::test_nonces_are_drawn_anew",),
    ),
    Fault(
        name="record-claims-any-length",
        file="formats/keyed/chunk.py",
        line="        if length > RAW_SIZE_MAX:",
        changed="        if length > 1 << 32:",
        breaks="A record that claims to unpack to gigabytes is refused before memory is allocated.",
        caught_by=("tests/keyed/test_chunk.py::test_every_flaw_inside_the_seal_has_its_rule",),
    ),
    Fault(
        name="passphrase-as-typed",
        file="formats/keyed/passphrase.py",
        line='        return unicodedata.normalize("NFC", _without_newline(text)).encode()',
        changed="        return _without_newline(text).encode()",
        breaks="A passphrase opens a slot from any keyboard, composed or decomposed.",
        caught_by=("tests/keyed/test_passphrase.py::test_normal_form",),
    ),
    Fault(
        name="object-not-flushed",
        file="formats/store/local.py",
        line="                self._root.flush(file)",
        changed="                file.flush()",
        breaks="An object is durable before it gets its name.",
        caught_by=("tests/store/test_posix.py::test_every_new_folder_is_flushed_and_later_only_the_last",),
    ),
    Fault(
        name="object-overwritten",
        file="formats/store/posix.py",
        line="_RENAME_NOREPLACE = 1",
        changed="_RENAME_NOREPLACE = 0",
        breaks="Who comes second never replaces the object that has the name.",
        caught_by=("tests/store/test_overtaken.py",),
    ),
    Fault(
        name="home-not-flushed",
        file="formats/records.py",
        line="            os.fsync(file.fileno())",
        changed="            file.flush()",
        breaks="The keys and the state of a home are durable before they replace the older ones.",
        caught_by=("tests/formats/test_records.py",),
    ),
    Fault(
        name="warnings-end-in-success",
        file="formats/shell/console.py",
        line="            raise typer.Exit(WITH_FINDINGS if code == DONE and console.findings else code)",
        changed="            raise typer.Exit(code)",
        breaks="A command with findings ends with exit code 3, so that scripts hear of them.",
        caught_by=(
            "tests/journeys/test_second_run.py::test_a_changed_file_is_left_alone_unless_overwrite_is_said",
        ),
    ),
    Fault(
        name="term-a-second-too-long",
        file="formats/rules/retention.py",
        line="        if sequence < last and (term := found.terms.get(point)) is not None and term.until <= now",
        changed="        if sequence < last and (term := found.terms.get(point)) is not None and term.until < now",
        breaks="A point expires in the second in which its term ends, as both sides count it.",
        caught_by=("tests/retention/test_ends.py",),
    ),
    # The datacenter.
    Fault(
        name="archive-digest-unchecked",
        file="importer/intake/intake.py",
        line="    if digest(data) != bytes(holding.name):",
        changed="    if len(data) != holding.size:",
        breaks="An archive that was damaged on its way does not get into the vault as a whole one.",
        caught_by=(
            "tests/journeys/test_damaged_disks.py::test_a_flipped_byte_costs_one_record_and_the_rest_arrives",
        ),
    ),
    Fault(
        name="credential-for-ever",
        file="importer/vault/machines.py",
        line="    credential.check_time(issued, told or moment_of(vault.clock))",
        changed="    _ = told, moment_of, credential",
        breaks="A credential that has expired lets no machine in.",
        caught_by=("tests/importer/test_requests.py",),
    ),
    Fault(
        name="replaced-machine-goes-on",
        file="importer/vault/points.py",
        line="        if fact.signed.digest not in counted:",
        changed='        if member.status == "revoked" and fact.signed.digest not in counted:',
        breaks="What a machine signs after another took its place does not count.",
        caught_by=(
            "tests/journeys/test_replace.py::test_what_the_machine_before_signs_later_does_not_count",
        ),
    ),
    Fault(
        name="wants-never-end",
        file="importer/vault/want_lists.py",
        line="    if (before.needs, before.objects) == (wanted, objects) if before else not lack:",
        changed="    if not lack or (before and (before.needs, before.objects) == (wanted, objects)):",
        breaks="Once all has come, a new want list says that nothing is wanted.",
        caught_by=("tests/importer/test_want_lists.py",),
    ),
    Fault(
        name="prune-without-grace",
        file="importer/upkeep/prune.py",
        line="    return written is not None and now - written >= GRACE",
        changed="    return written is not None",
        breaks="What is younger than a day is not condemned: its manifest may be on its way.",
        caught_by=(
            "tests/retention/test_prune.py::test_what_has_expired_is_deleted_and_all_else_comes_back",
        ),
    ),
    Fault(
        name="importer-reaches-keys",
        file="importer/intake/archive_copy.py",
        line="from formats.ids import KeyId",
        changed="from formats.keyed.keys import KeyId",
        breaks="The datacenter's side never reaches the code that opens seals.",
        caught_by=("tests/test_import_graph.py::test_the_importer_cannot_decrypt",),
    ),
    # The server.
    Fault(
        name="exclude-matches-name-ends",
        file="seed/source/source_rules.py",
        line='        return body if pattern.startswith("/") else f".*/{body}"',
        changed='        return body if pattern.startswith("/") else f".*{body}"',
        breaks="`--exclude a/b` leaves out whole names only: `xa/b` stays in the backup.",
        caught_by=("tests/seed/test_rules.py::test_globs",),
    ),
    Fault(
        name="rewritten-unnoticed",
        file="seed/source/batch.py",
        line="    stayed = now.st_size == size and (now.st_mtime_ns, changed_ns(now)) == times",
        changed="    stayed = now.st_size == size",
        breaks="A file that changed while it was read is reported, though its length is the same.",
        caught_by=("tests/seed/test_rewritten.py",),
    ),
    Fault(
        name="holes-filled",
        file="seed/restore/tree/posix.py",
        line="        os.truncate(new.handle, size)",
        changed="        os.posix_fallocate(new.handle, 0, size)",
        breaks="A sparse file comes back with its holes.",
        caught_by=("tests/journeys/test_revoke.py::test_what_the_vault_had_stays_good",),
    ),
    Fault(
        name="two-links-two-files",
        file="seed/restore/restore.py",
        line="        if entry.type == FOLDER or entry.links < 2:",
        changed="        if entry.type == FOLDER or entry.links <= 2:",
        breaks="A file of two names comes back as one file, not as two.",
        caught_by=("tests/journeys/test_verify.py::test_what_was_verified_is_restored",),
    ),
)
