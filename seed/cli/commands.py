"""The commands of `seed`, in stages that follow the journey, as its help lists them.

A test compares this list with the commands themselves.
"""

from formats.shell.command_groups import ListedCommand

STAGES = {
    "Begin": (
        ListedCommand("demo", "demo", "Run the whole journey in a scratch folder."),
        ListedCommand("plan", "planning", "Estimate a seed: its size, disks and time."),
        ListedCommand("register", "registration", "Register this machine with a vault."),
    ),
    "The first backup, on disks": (
        ListedCommand("export", "exports", "Write the seed onto disks, encrypted."),
        ListedCommand("disks", "drives", "Show the attached disks and the seeds on them."),
        ListedCommand("verify", "verifying", "Read disks back before they are shipped."),
        ListedCommand("set", "sets", "Show, label, ship or give up a disk set."),
        ListedCommand("resend", "resending", "Give up lost disks and send their data again."),
    ),
    "Backups over the network": (
        ListedCommand("backup", "backups", "Back up all changes now, over the network."),
        ListedCommand("items", "items", "Show, set and confirm the items of backups."),
        ListedCommand("schedule", "scheduling", "Show, set and install the schedule of backups."),
        ListedCommand("retention", "retention", "Show and set how long points are kept."),
        ListedCommand("repair", "repairing", "Send again the data that the vault has lost."),
    ),
    "Look and restore": (
        ListedCommand("points", "reading", "List recovery points."),
        ListedCommand("ls", "reading", "List the entries of a recovery point."),
        ListedCommand("find", "looking", "Find files in all recovery points."),
        ListedCommand("diff", "looking", "Compare two recovery points."),
        ListedCommand("restore", "restoring", "Restore a recovery point, or a part of it."),
    ),
    "Watch": (
        ListedCommand("status", "status", "Show the registration, items and disk sets."),
        ListedCommand("report", "reporting", "Write a report of this machine, as a page."),
        ListedCommand("jobs", "jobs", "List the jobs of this home."),
        ListedCommand("notify", "jobs", "Show and set the notices about ended jobs."),
    ),
    "Settings": (
        ListedCommand("key", "keys", "Show and change the passphrases of backups."),
        ListedCommand("access", "network", "Show and set the access to the vault."),
        ListedCommand("proxy", "network", "Show and set the proxy to the vault."),
        ListedCommand("throttle", "network", "Show and set the share of the network."),
        ListedCommand("completion", "jobs", "Print the shell completion of this program."),
    ),
}
