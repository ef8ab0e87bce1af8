"""The stages of a backup know the values between them, and not each other."""

import pytest

from tests.test_import_graph import MODULES, imports

STAGES = {
    "change detection": ("change_detection", "comparison"),
    "reading of small files": ("small_file_batches", "small_file_worker"),
    "reading of large files": ("chunking", "large_files"),
    "dedup of small files": ("content_index", "remembered_contents"),
    "sealing": ("sealing",),
    "packing": ("packing",),
    "listing": ("catalog_writer",),
}


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_imports_no_other_stage(stage: str) -> None:
    others = {f"seed.pipeline.{name}" for other in STAGES if other != stage for name in STAGES[other]}
    assert others < MODULES.keys(), "each stage is there"
    for name in STAGES[stage]:
        assert sorted(others & set(imports(f"seed.pipeline.{name}"))) == []
