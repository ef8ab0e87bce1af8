"""Tests of what the datacenter decides, without commands and without disks."""
