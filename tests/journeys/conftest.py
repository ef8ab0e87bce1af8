"""The journeys are for Linux: there everything that a tree can hold can be made and compared."""

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
