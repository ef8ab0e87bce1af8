"""The commands of `importer`, in the order in which its help lists them.

A test compares the list with the commands themselves.
"""

from formats.shell.command_groups import ListedCommand

COMMANDS = (
    ListedCommand("inspect", "imports", "Show the seeds on disks, and check them."),
    ListedCommand("import", "imports", "Import disks into a vault."),
    ListedCommand("points", "imports", "List the recovery points of a vault."),
    ListedCommand(
        "jobs",
        "jobs",
        "List the jobs of a vault, by its documents.",
    ),
    ListedCommand(
        "completion",
        "jobs",
        "Print the shell completion of this program.",
    ),
    ListedCommand("prune", "pruning", "Apply retention and delete unneeded data."),
    ListedCommand(
        "receive",
        "receiving",
        "Book disks in as they come out of the parcel.",
    ),
    ListedCommand(
        "report",
        "reporting",
        "Write a report of a vault, as a page.",
    ),
    ListedCommand("export", "shipping", "Write a recovery point onto disks."),
    ListedCommand(
        "status",
        "status",
        "Show the disk sets of each machine.",
    ),
    ListedCommand("validate", "validating", "Read a whole vault, and check every byte."),
    ListedCommand(
        "access",
        "access",
        "Give or revoke machines' standing access.",
    ),
    ListedCommand("notify", "jobs", "Show and set the notices about ended jobs."),
    ListedCommand("machines", "machines", "List, accept and revoke machines; remove old keys."),
    ListedCommand("vault", "vaults", "Create and show vaults."),
    ListedCommand("credentials", "vaults", "Issue vault credentials."),
)
