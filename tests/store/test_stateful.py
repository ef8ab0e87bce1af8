"""A directory answers as the model in memory does, after any calls in any order."""

import tempfile
from collections.abc import Callable

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from formats.errors import OffseedError
from formats.ids import digest
from formats.layout import archive_name
from formats.store.contract import Store
from formats.store.local import LocalStore
from tests.effort import examples
from tests.memory_store import MemoryStore

ID = "5a" * 16
DATAS = st.sampled_from([b"a", b"b", b"ab", bytes(5000)])
NAMES = st.sampled_from(
    [
        "label",
        *(f"shipments/{disk}/0000000001-{ID}{ID}" for disk in (ID, f"{ID}-1", f"{ID}-10")),
        f"slots/{ID}/0000000007-{ID}{ID}",
        "jobs/a",
        "not ours",
        archive_name(digest(b"a")),
    ]
)
FOLDERS = st.sampled_from(
    ["", "shipments/", f"shipments/{ID}", "slots", "archives/", "needs/", "jobs/a", "elsewhere"]
)
OFFSETS = st.integers(0, 6000)

Answer = object


def answer(call: Callable[[], Answer]) -> Answer:
    """Return the result of a call, or the code of its error."""
    try:
        return call()
    except OffseedError as error:
        return error.code


class LocalAndModel(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.model = MemoryStore()
        self.store = LocalStore.open(self.folder.name)

    def teardown(self) -> None:
        self.store.close()
        self.folder.cleanup()

    def agree(self, call: Callable[[Store], Answer]) -> None:
        assert answer(lambda: call(self.store)) == answer(lambda: call(self.model))

    @rule(name=NAMES, data=DATAS)
    def put_new(self, name: str, data: bytes) -> None:
        self.agree(lambda store: store.put_new(name, data))

    @rule(name=NAMES, start=OFFSETS, length=st.none() | OFFSETS)
    def get(self, name: str, start: int, length: int | None) -> None:
        self.agree(lambda store: store.get(name, start, length))

    @rule(name=NAMES, size=OFFSETS)
    def get_into(self, name: str, size: int) -> None:
        def read(store: Store) -> Answer:
            buffer = bytearray(size)
            return store.get_into(name, memoryview(buffer)), buffer

        self.agree(read)

    @rule(name=NAMES)
    def head(self, name: str) -> None:
        self.agree(lambda store: store.head(name))

    @rule(name=NAMES)
    def delete(self, name: str) -> None:
        self.agree(lambda store: store.delete(name))

    @rule(folder=FOLDERS)
    def list(self, folder: str) -> None:
        self.agree(lambda store: [*store.list(folder)])

    @rule(read_only=st.booleans())
    def reopen(self, read_only: bool) -> None:
        self.store.close()
        with LocalStore.open(self.folder.name, read_only=read_only) as seen:
            assert [*seen.list("")] == [*self.model.list("")]
        self.store = LocalStore.open(self.folder.name)
        self.store.sweep()

    @invariant()
    def whole(self) -> None:
        self.agree(lambda store: [*store.list("")])


TestLocalAndModel = LocalAndModel.TestCase
TestLocalAndModel.settings = settings(max_examples=examples(40), stateful_step_count=25, database=None)
