"""A stage with its vault in a container on a real Azurite.

The operator has the account's key. The machine has the SAS in its credential.
A command that reads without a home gets a SAS of its own.
"""

import json
import os
import secrets
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Self

import pytest
from azure.storage.blob import BlobServiceClient, ContainerClient

from formats.store.access import Access
from formats.store.azblob.store import AzureStore
from tests.azurite import ACCOUNT, Azurite
from tests.journeys.stage import Stage

SECRET = "AZURE_STORAGE_CONNECTION_STRING"


class ContainerStage(Stage):
    """One operator, one machine, one disk, and a vault in its own container."""

    server: Azurite

    def __init__(self, folder: Path) -> None:
        self.container = f"vault-{secrets.token_hex(6)}"
        super().__init__(folder)

    @property
    def vault(self) -> Path:
        """The vault's folder, which a container lacks: reading it skips the test."""
        pytest.skip("NOT TESTED in a container: it looks into the vault's folder")

    @vault.setter
    def vault(self, path: Path) -> None:
        """Ignore the folder: the vault is in a container."""

    @property
    def at(self) -> str:
        return f"azblob://{ACCOUNT}/{self.container}"

    @property
    def key(self) -> str:
        """The operator's connection string, with the account's key."""
        return self.server.connection_string()

    def grant(self) -> str:
        """Return a SAS for a machine that lasts 48 hours."""
        store = AzureStore.open(self.at, Access(self.key))
        secret = store.grant(datetime.now(UTC) + timedelta(hours=48))
        store.close()
        assert secret is not None
        return secret

    def client(self) -> ContainerClient:
        """Return a client with the account's key, which bypasses the commands."""
        return BlobServiceClient.from_connection_string(self.key).get_container_client(self.container)

    def bring(
        self, words: tuple[object, ...], environment: dict[str, str | Path | None]
    ) -> dict[str, str | Path | None]:
        home = environment.get("SEED_HOME") or self.home
        if words[0] == "importer":
            return {SECRET: self.key, **environment}
        if words[1:2] != ("register",) and not os.path.exists(Path(home) / "network.json"):
            return {SECRET: self.grant(), **environment}
        return environment

    def copy(self, folder: Path) -> Self:
        stage = super().copy(folder)
        mine, other = self.client(), stage.client()
        other.create_container()
        for blob in mine.list_blob_names():
            other.upload_blob(blob, mine.download_blob(blob).readall())
        for path, key in ((stage.home / "network.json", "secret"), (stage.credential, "access")):
            if path.exists():
                path.write_text(json.dumps({**json.loads(path.read_text()), key: stage.grant()}))
        return stage

    def join(self, other: Self) -> None:
        self.container, self.importer_home, self.credential = (
            other.container,
            other.importer_home,
            other.credential,
        )
