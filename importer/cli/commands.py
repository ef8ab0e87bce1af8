"""The commands of `importer`, in the order in which its help lists them.

A test compares the list with the commands themselves.
"""

from formats.shell.command_groups import Listed

COMMANDS = (
    Listed("inspect", "imports", "Show what is on disks, whose they are and whether they are whole."),
    Listed("import", "imports", "Import disks into a vault."),
    Listed("points", "imports", "List the recovery points of a vault and whether they are complete."),
    Listed(
        "jobs",
        "jobs",
        "List what was done to a vault, by its own papers: imports, validations, sweeps, exports; those that go on, too.",
    ),
    Listed(
        "completion",
        "jobs",
        "Print what makes a shell complete commands and options; where it goes is for the shell to say.",
    ),
    Listed("prune", "pruning", "Apply retention, and delete what no recovery point needs any more."),
    Listed(
        "receive",
        "receiving",
        "Book disks in as they come out of the parcel, before anything is read of them.",
    ),
    Listed(
        "report",
        "reporting",
        "Write a page to look at: machines and points, bytes by day, each disk and its archives, what is awaited, what was done.",
    ),
    Listed("export", "shipping", "Write a recovery point onto disks, to be sent to its machine."),
    Listed(
        "status",
        "status",
        "Show the disk sets of each machine, disk by disk: awaited, received, may be erased.",
    ),
    Listed("validate", "validating", "Read what a vault holds, and check every byte."),
    Listed(
        "access",
        "access",
        "Give machines a standing access to the storage account of a vault, and take it back.",
    ),
    Listed(
        "notify", "jobs", "Show and set who is told how jobs end: a command, a webhook, a file of metrics."
    ),
    Listed("machines", "machines", "List, accept and revoke machines; remove old keys."),
    Listed("vault", "vaults", "Create and show vaults."),
    Listed("credentials", "vaults", "Issue vault credentials."),
)
