"""The commands of `seed`, in the order in which its help lists them.

A test compares this list with the commands themselves.
"""

from formats.shell.command_groups import Listed

COMMANDS = (
    Listed("export", "exports", "Write the seed onto disks, encrypted."),
    Listed(
        "backup",
        "backups",
        "Back up all changes now, over the network.",
    ),
    Listed(
        "demo",
        "demo",
        "Run the whole journey in a scratch folder.",
    ),
    Listed(
        "disks",
        "drives",
        "Show the attached disks and the seeds on them.",
    ),
    Listed(
        "jobs",
        "jobs",
        "List the jobs of this home.",
    ),
    Listed(
        "completion",
        "jobs",
        "Print the shell completion of this program.",
    ),
    Listed("points", "reading", "List recovery points."),
    Listed("ls", "reading", "List the entries of a recovery point."),
    Listed("restore", "reading", "Restore a recovery point, or a part of it."),
    Listed(
        "find",
        "looking",
        "Find files in all recovery points.",
    ),
    Listed(
        "diff",
        "looking",
        "Compare two recovery points.",
    ),
    Listed(
        "plan",
        "planning",
        "Estimate a seed: its size, disks and time.",
    ),
    Listed(
        "register",
        "registration",
        "Register this machine with a vault.",
    ),
    Listed(
        "repair",
        "repairing",
        "Send again the data that the vault has lost.",
    ),
    Listed(
        "report",
        "reporting",
        "Write a report of this machine, as a page.",
    ),
    Listed(
        "resend",
        "resending",
        "Give up lost disks and send their data again.",
    ),
    Listed(
        "status",
        "status",
        "Show the registration, items and disk sets.",
    ),
    Listed(
        "verify",
        "verifying",
        "Read disks back before they are shipped.",
    ),
    Listed("schedule", "scheduling", "Show, set and install the schedule of backups."),
    Listed("items", "items", "Show, set and confirm the items of backups."),
    Listed("notify", "jobs", "Show and set the notices about ended jobs."),
    Listed("key", "keys", "Show and change the passphrases of backups."),
    Listed("access", "network", "Show and set the access to the vault."),
    Listed("proxy", "network", "Show and set the proxy to the vault."),
    Listed("throttle", "network", "Show and set the share of the network."),
    Listed("retention", "retention", "Show and set how long points are kept."),
    Listed(
        "set",
        "sets",
        "Show, label, ship or give up a disk set.",
    ),
)
