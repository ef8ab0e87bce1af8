"""The disks that are attached, and the reasons against writing a seed onto one."""
