"""The commands of `importer`, in the order in which its help lists them.

A test compares the list with the commands themselves.
"""

from formats.shell.command_groups import Listed

COMMANDS = (
    Listed("inspect", "imports", "Show the seeds on disks, and check them."),
    Listed("import", "imports", "Import disks into a vault."),
    Listed("points", "imports", "List the recovery points of a vault."),
    Listed(
        "jobs",
        "jobs",
        "List the jobs of a vault, by its documents.",
    ),
    Listed(
        "completion",
        "jobs",
        "Print the shell completion of this program.",
    ),
    Listed("prune", "pruning", "Apply retention and delete unneeded data."),
    Listed(
        "receive",
        "receiving",
        "Book disks in as they come out of the parcel.",
    ),
    Listed(
        "report",
        "reporting",
        "Write a report of a vault, as a page.",
    ),
    Listed("export", "shipping", "Write a recovery point onto disks."),
    Listed(
        "status",
        "status",
        "Show the disk sets of each machine.",
    ),
    Listed("validate", "validating", "Read a whole vault, and check every byte."),
    Listed(
        "access",
        "access",
        "Give or revoke machines' standing access.",
    ),
    Listed("notify", "jobs", "Show and set the notices about ended jobs."),
    Listed("machines", "machines", "List, accept and revoke machines; remove old keys."),
    Listed("vault", "vaults", "Create and show vaults."),
    Listed("credentials", "vaults", "Issue vault credentials."),
)
