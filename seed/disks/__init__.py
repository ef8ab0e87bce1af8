"""Disks as things: labels, custody, attached drives, sets that are given up."""
