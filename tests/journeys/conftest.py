"""The fixtures of the journeys, for Linux only: it can make and compare every kind of entry of a tree."""

import sys

if sys.platform == "linux":
    from tests.journeys.scenes import (
        bare,
        copy_of,
        exported,
        ground,
        imported,
        lived,
        long_tree,
        odd_tree,
        opened,
        rack,
        real_tree,
        room,
        scene,
        setting,
        small_tree,
        source,
        stage,
        wide,
    )

    __all__ = (
        "bare",
        "copy_of",
        "exported",
        "ground",
        "imported",
        "lived",
        "long_tree",
        "odd_tree",
        "opened",
        "rack",
        "real_tree",
        "room",
        "scene",
        "setting",
        "small_tree",
        "source",
        "stage",
        "wide",
    )
else:
    collect_ignore_glob = ["test_*"]
