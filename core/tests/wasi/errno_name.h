/* The names of the errors that the tests expect to see; strerror() would print prose that differs between libraries. */
#ifndef LUGE_TESTS_ERRNO_NAME_H
#define LUGE_TESTS_ERRNO_NAME_H

#include <errno.h>

static inline const char *errno_name(int error)
{
	switch (error) {
	case 0: return "OK";
	case EACCES: return "EACCES";
	case EBADF: return "EBADF";
	case EEXIST: return "EEXIST";
	case EINVAL: return "EINVAL";
	case EISDIR: return "EISDIR";
	case ELOOP: return "ELOOP";
	case ENOENT: return "ENOENT";
	case ENOSYS: return "ENOSYS";
	case ENOTCAPABLE: return "ENOTCAPABLE";
	case ENOTDIR: return "ENOTDIR";
	case ENOTSUP: return "ENOTSUP";
	case EPERM: return "EPERM";
	case EROFS: return "EROFS";
	default: return "another errno";
	}
}

#endif
