"""The commands of `seed`, in the order in which its help lists them.

A test compares this list with the commands themselves.
"""

from formats.shell.command_groups import Listed

COMMANDS = (
    Listed("export", "exports", "Write the seed: all that PATHs hold, encrypted, onto disks."),
    Listed(
        "backup",
        "backups",
        "Back up now, over the network: what changed since the last recovery point goes into the vault.",
    ),
    Listed(
        "demo",
        "demo",
        "The whole journey here, in a scratch folder: vault, registration, export, import, restore, compare.",
    ),
    Listed(
        "disks",
        "drives",
        "Show the disks that are attached: model, serial, room, what of a seed lies on each, what speaks against it.",
    ),
    Listed(
        "jobs",
        "jobs",
        "List what was done from this home: backups, exports, restores and the like; those that run, too.",
    ),
    Listed(
        "completion",
        "jobs",
        "Print what makes a shell complete commands and options; where it goes is for the shell to say.",
    ),
    Listed("points", "reading", "List recovery points."),
    Listed("ls", "reading", "List what a recovery point holds."),
    Listed("restore", "reading", "Restore a recovery point, or a folder of it, below DIR."),
    Listed(
        "find",
        "looking",
        "Find files in all recovery points: each once for every version, and where it was gone.",
    ),
    Listed(
        "diff",
        "looking",
        "Show what differs between two recovery points: + added, - removed, M content, m attributes.",
    ),
    Listed(
        "plan",
        "planning",
        "Say how large a seed of PATHs would be, how many disks and how long it takes, and whether to send disks at all.",
    ),
    Listed(
        "register",
        "registration",
        "Register this machine with a vault, and choose the passphrase that opens its backups.",
    ),
    Listed(
        "repair",
        "repairing",
        "Send what the vault found lost or damaged: made again from this machine's files, and only that.",
    ),
    Listed(
        "report",
        "reporting",
        "Write a page to look at: points over time, bytes by day, what is saved, each disk and its archives, what is awaited.",
    ),
    Listed(
        "resend",
        "resending",
        "Give up disks that will never come, and send what they held again, as far as the source still has it.",
    ),
    Listed(
        "status",
        "status",
        "Show this machine's registration, what it backs up, and its disk sets disk by disk.",
    ),
    Listed(
        "verify",
        "verifying",
        "Read disks back before they are shipped: all bytes, past the page cache, and every chunk opened.",
    ),
    Listed("schedule", "scheduling", "Show, set and install when this machine backs up by itself."),
    Listed("items", "items", "Show, set and confirm what this machine backs up."),
    Listed(
        "notify", "jobs", "Show and set who is told how jobs end: a command, a webhook, a file of metrics."
    ),
    Listed("key", "keys", "Show and change the passphrases that open this machine's backups."),
    Listed("access", "network", "Show and set this machine's access to the storage account of its vault."),
    Listed("proxy", "network", "Show and set the proxy through which the vault is reached."),
    Listed("throttle", "network", "Show and set how much of the network backups and restores may take."),
    Listed("retention", "retention", "Show and set how long recovery points are kept."),
    Listed(
        "set",
        "sets",
        "Show a disk set disk by disk, print its labels, note that it was sent, give it up or go on; `seed status` shows all sets.",
    ),
)
