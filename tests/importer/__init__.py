"""Tests of the datacenter's decisions, without commands and without disks."""
