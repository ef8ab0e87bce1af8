"""The disks that are attached, and what speaks against writing a seed onto one."""
