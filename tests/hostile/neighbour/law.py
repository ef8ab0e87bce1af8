"""The law: beside a neighbour, everything is for the healthy machines as without it.

Each command ends with the exit code that it has without the neighbour. 0 may become 3 if a finding tells of a
planted object. The importer may tell of every planted object. A machine may tell only of objects under its
own names, or in the way. The facts about the healthy machines are the same. Nothing of the healthy machines
is deleted, and the garbage of each of them still goes.
"""

import re
import sys
from collections.abc import Iterator, Sequence
from typing import Any

if sys.platform == "linux":
    from tests.hostile.neighbour.commands import Outcome, Said
    from tests.hostile.neighbour.scene import CAPTURED, Scene
    from tests.hostile.neighbour.shapes import Plant

assert sys.platform == "linux"


def broken(scene: Scene, usual: Outcome, now: Outcome, plants: Sequence[Plant]) -> list[str]:
    """Return the breaches of the law, each with its command."""
    found = [f"{said.step.who}: {said.step.title}: {why}" for before, said in zip(usual.said, now.said, strict=True) for why in _of(scene, before, said, plants)]  # fmt: skip
    names = {plant.name for plant in plants}
    stays = (usual.objects.keys() & scene.beginning.keys()) - scene.owned[CAPTURED]
    lost = [name for name in sorted(stays) if now.objects.get(name) != usual.objects[name]]
    found += [f"{name} is gone or changed" for name in lost]
    garbage = scene.beginning.keys() - usual.objects.keys() - scene.owned[CAPTURED] - names
    found += [f"{name} should be gone" for name in sorted(garbage & now.objects.keys())]
    found += [
        f"{who} does not get back: {what}"
        for who, what in now.restored.items()
        if what != usual.restored[who]
    ]
    return found


def _of(scene: Scene, usual: Said, said: Said, plants: Sequence[Plant]) -> Iterator[str]:
    more = said.findings - usual.findings
    # An obstacle may stand at the name of a missing archive that the command reports without the neighbour, too.
    obstacles = said.step.title == "seed restore" and any(plant.group == "obstacles" for plant in plants)
    known = {subject for _, subject in usual.findings} if obstacles else set()
    # A genuine old offer that was put back may be untrue beside the other plants; the importer reports that.
    by_offer = said.step.title == "importer import" and any(
        plant.name.startswith("replacements/") for plant in plants
    )
    for code, subject in more:
        if (code == "obstructed" and subject in known) or (code == "replacement-untrue" and by_offer):
            continue
        if not _may_tell(scene, said, subject, plants):
            yield f"it tells of {code}: {subject}"
    for code, subject in usual.findings - said.findings:
        if subject not in known or ("obstructed", subject) not in more:
            yield f"it does not tell of {code}: {subject}"
    if said.code != usual.code and not (said.code == 3 and usual.code == 0 and more):
        yield f"it ends with {said.code}, not with {usual.code}:\n{said.result}"
    if said.step.title == "importer jobs":  # it may list more: genuine old documents that were put back
        there = {job["job"] for job in said.facts[0]}
        yield from (f"it does not tell of {job}" for job in usual.facts[0] if job["job"] not in there)
        return
    for where, one, other in _differences(usual.facts, said.facts, ""):
        yield f"it says of{where} {other!r}, not {one!r}"


def _may_tell(scene: Scene, said: Said, subject: str, plants: Sequence[Plant]) -> bool:
    """Return whether the command may tell of this subject.

    The subject must concern the captured machine or a planted object. The importer may tell of both. A
    machine may tell only of plants under its own names and of obstacles.
    """
    captured = {CAPTURED, scene.identities[CAPTURED].machine}
    by_importer = said.step.title.startswith("importer")
    if any(word in captured for word in re.split(r"[ ,/]+", subject)):
        return by_importer
    if any(subject == plant.concerns for plant in plants):
        return by_importer or subject == said.step.who
    path = subject.removeprefix(f"{scene.vault}/").removeprefix("vault/").removeprefix("copies/")
    if subject == str(scene.vault):
        return by_importer
    for plant in plants:
        name = plant.name.removeprefix("copies/")
        if name == path or name.startswith(f"{path}/") or path.startswith(f"{name}/"):
            return by_importer or plant.concerns == said.step.who or plant.group == "obstacles"
    return False


def _differences(one: Any, other: Any, where: str) -> Iterator[tuple[str, Any, Any]]:
    """Yield each place at which two values differ, with both values."""
    if isinstance(one, dict) and isinstance(other, dict) and one.keys() == other.keys():
        for key in one:
            yield from _differences(one[key], other[key], f"{where} {key}")
    elif isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        for number, (left, right) in enumerate(zip(one, other, strict=True)):
            yield from _differences(left, right, f"{where} {number}")
    elif one != other:
        yield where, one, other
