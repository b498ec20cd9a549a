/*
 * A program that reads the directory it was granted, and tries to leave it and to change it.
 *
 * argv[1] is the preopened directory. It must hold `hello.txt` ("hello, file\n"), `sub/inner.txt`, and may hold `inside`, a
 * symbolic link to hello.txt, `outside`, a symbolic link to a file beside the directory, and `up`, one to `..`. Every attempt
 * prints its name and either what it got or the name of errno. Nothing in the first part may fail; nothing in the second
 * may succeed.
 */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "errno_name.h"

static const char *root;

/* The path of `name` in the granted directory. */
static const char *in_root(const char *name)
{
	static char path[512];

	snprintf(path, sizeof path, "%s/%s", root, name);
	return path;
}

static void report(const char *attempt, const char *name, int result)
{
	printf("%s %s: %s\n", attempt, name, result >= 0 ? "OK" : errno_name(errno));
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static void list(const char *path)
{
	char *names[256];
	size_t count = 0;
	DIR *directory = opendir(path);

	if (directory == NULL) {
		printf("opendir: %s\n", errno_name(errno));
		return;
	}
	for (struct dirent *entry; (entry = readdir(directory)) != NULL && count < 256;)
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
			names[count++] = strdup(entry->d_name);
	closedir(directory);
	qsort(names, count, sizeof *names, by_name);
	for (size_t i = 0; i < count; i++) {
		printf("entry %s\n", names[i]);
		free(names[i]);
	}
}

static void read_file(const char *name)
{
	char text[64];
	FILE *file = fopen(in_root(name), "r");

	if (file == NULL) {
		printf("fopen %s: %s\n", name, errno_name(errno));
		return;
	}
	size_t got = fread(text, 1, sizeof text - 1, file);
	text[got] = '\0';
	text[strcspn(text, "\n")] = '\0';
	printf("read %s: %zu bytes '%s'\n", name, got, text);

	fseek(file, 7, SEEK_SET);
	got = fread(text, 1, 4, file);
	printf("seek %s: '%.*s' at %ld", name, (int)got, text, ftell(file));
	fseek(file, 0, SEEK_END);
	printf(" end %ld\n", ftell(file));
	fclose(file);
}

static void stat_file(const char *name)
{
	struct stat status;

	if (stat(in_root(name), &status) < 0)
		printf("stat %s: %s\n", name, errno_name(errno));
	else if (S_ISDIR(status.st_mode))
		printf("stat %s: directory\n", name);
	else
		printf("stat %s: %s of %lld bytes\n", name, S_ISREG(status.st_mode) ? "file" : "other",
		       (long long)status.st_size);
}

/* Tries to open `path` for reading; an escape prints what it found. */
static void escape(const char *path)
{
	char text[32];
	int fd = open(path, O_RDONLY);

	if (fd < 0) {
		printf("escape %s: %s\n", path, errno_name(errno));
		return;
	}
	ssize_t got = read(fd, text, sizeof text);
	printf("escape %s: OPENED '%.*s'\n", path, got > 0 ? (int)got : 0, text);
	close(fd);
}

static void reads(void)
{
	list(root);
	read_file("hello.txt");
	read_file("sub/inner.txt");
	read_file("sub/../hello.txt");
	stat_file("hello.txt");
	stat_file("sub");
	stat_file("absent.txt");
	read_file("absent.txt");
	read_file("hello.txt/below");
}

static void escapes(void)
{
	escape("../secret");
	escape("/etc/passwd");
	escape("/");
	escape(in_root("../secret"));
	escape(in_root("sub/../../secret"));
	escape(in_root("sub/../../../../../../../../etc/passwd"));
	escape(in_root("outside"));
	escape(in_root("up/secret"));
	escape(in_root("up"));
}

static void writes(void)
{
	char target[512];
	int fd = open(in_root("hello.txt"), O_WRONLY);

	report("open for writing", "hello.txt", fd);
	fd = open(in_root("hello.txt"), O_RDWR | O_TRUNC);
	report("open and truncate", "hello.txt", fd);
	fd = open(in_root("new.txt"), O_WRONLY | O_CREAT | O_EXCL, 0644);
	report("create", "new.txt", fd);
	report("unlink", "hello.txt", unlink(in_root("hello.txt")));
	report("mkdir", "newdir", mkdir(in_root("newdir"), 0755));
	report("rmdir", "sub", rmdir(in_root("sub")));
	snprintf(target, sizeof target, "%s/moved.txt", root);
	report("rename", "hello.txt", rename(in_root("hello.txt"), target));
	report("link", "hello.txt", link(in_root("hello.txt"), target));
	report("symlink", "moved.txt", symlink("hello.txt", target));

	fd = open(in_root("hello.txt"), O_RDONLY);
	report("write to a descriptor for reading", "hello.txt", (int)write(fd, "x", 1));
	report("truncate a descriptor for reading", "hello.txt", ftruncate(fd, 0));
	close(fd);
	report("read a closed descriptor", "hello.txt", (int)read(fd, target, 1));
}

int main(int argc, char **argv)
{
	if (argc != 2) {
		fprintf(stderr, "usage: files DIRECTORY\n");
		return 2;
	}
	root = argv[1];
	reads();
	read_file("inside");
	escapes();
	writes();
	return 0;
}
