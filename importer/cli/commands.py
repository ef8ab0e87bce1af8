"""The commands of `importer`, in stages that follow the journey, as its help lists them.

A test compares this list with the commands themselves.
"""

from formats.shell.command_groups import ListedCommand

STAGES = {
    "Begin": (
        ListedCommand("vault", "vaults", "Create and show vaults."),
        ListedCommand("credentials", "vaults", "Issue vault credentials."),
        ListedCommand("machines", "machines", "List, accept and revoke machines; remove old keys."),
        ListedCommand("access", "access", "Give or revoke machines' standing access."),
    ),
    "Disks that arrive": (
        ListedCommand("receive", "receiving", "Book disks in as they come out of the parcel."),
        ListedCommand("inspect", "imports", "Show the seeds on disks, and check them."),
        ListedCommand("import", "imports", "Import disks into a vault."),
    ),
    "Upkeep of a vault": (
        ListedCommand("validate", "validating", "Read a whole vault, and check every byte."),
        ListedCommand("prune", "pruning", "Apply retention and delete unneeded data."),
    ),
    "Help with a restore": (
        ListedCommand("points", "imports", "List the recovery points of a vault."),
        ListedCommand("export", "shipping", "Write a recovery point onto disks."),
    ),
    "Watch": (
        ListedCommand("status", "status", "Show the disk sets of each machine."),
        ListedCommand("report", "reporting", "Write a report of a vault, as a page."),
        ListedCommand("jobs", "jobs", "List the jobs of a vault, by its documents."),
        ListedCommand("notify", "jobs", "Show and set the notices about ended jobs."),
    ),
    "Settings": (ListedCommand("completion", "jobs", "Print the shell completion of this program."),),
}
