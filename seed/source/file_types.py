"""The kinds of entries, as the mode bits of a system give them."""

import stat

from formats.keyed.catalog import BLOCK_DEVICE, CHARACTER_DEVICE, FIFO, FILE, FOLDER, SOCKET, SYMLINK

FORMATS = {
    FILE: stat.S_IFREG,
    FOLDER: stat.S_IFDIR,
    SYMLINK: stat.S_IFLNK,
    FIFO: stat.S_IFIFO,
    SOCKET: stat.S_IFSOCK,
    CHARACTER_DEVICE: stat.S_IFCHR,
    BLOCK_DEVICE: stat.S_IFBLK,
}
TYPES = {mode: kind for kind, mode in FORMATS.items()}
