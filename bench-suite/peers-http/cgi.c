/*
 * A CGI server: each request starts a program as a process of its own (RFC 3875), and the kernel schedules them.
 *
 *     cgi NAME=PROGRAM...
 *
 * `GET /NAME?QUERY` runs the program called NAME with QUERY_STRING in its environment; what it writes to standard output is the
 * body of a 200, and a program that fails is a 500. It listens on a port of the system's choice, on loopback, and prints its
 * address. As cheap as such a server can be while it stays simple: a thread for each connection, which stays open;
 * posix_spawn, which copies no page tables; no body is read, no header made, no log kept. Connections are few and open all the
 * time, so one thread that accepts them is no bottleneck, and the kernel moves threads and programs to whatever core is free.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { HEAD_BYTES = 8192, BODY_BYTES = 65536, STACK_BYTES = 256 * 1024 };

static int program_count;
static char **programs;

static const char *program_of(const char *name, size_t length)
{
	for (int i = 0; i < program_count; i++)
		if (strncmp(programs[i], name, length) == 0 && programs[i][length] == '=')
			return programs[i] + length + 1;
	return NULL;
}

/* Runs `program`; returns the bytes that it wrote to `body`, or -1 when it failed. */
static ssize_t run(const char *program, const char *query, char *body)
{
	char variable[HEAD_BYTES + 16];
	char *argv[] = {(char *)program, NULL}, *environment[] = {variable, NULL};
	posix_spawn_file_actions_t actions;
	int ends[2], status = -1;
	ssize_t used = 0, got;
	pid_t child;

	snprintf(variable, sizeof variable, "QUERY_STRING=%s", query);
	if (pipe2(ends, O_CLOEXEC) != 0)
		return -1;
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
	int failed = posix_spawn(&child, program, &actions, NULL, argv, environment);
	posix_spawn_file_actions_destroy(&actions);
	close(ends[1]);
	if (failed == 0) {
		while (used < BODY_BYTES && (got = read(ends[0], body + used, (size_t)(BODY_BYTES - used))) > 0)
			used += got;
		waitpid(child, &status, 0);
	}
	close(ends[0]);
	return status == 0 ? used : -1;
}

/* Answers the request in `head`, which ends with a NUL. */
static int answer(int client, char *head)
{
	static __thread char out[HEAD_BYTES + BODY_BYTES];
	const char *status = "200 OK";
	ssize_t length = 0;
	char *body = out + HEAD_BYTES;
	char *path = strchr(head, '/'), *end = path ? strchr(path, ' ') : NULL;

	if (end == NULL)
		return -1;
	*end = '\0';
	char *query = strchrnul(path, '?');
	const char *program = program_of(path + 1, (size_t)(query - path - 1));
	if (program == NULL)
		status = "404 Not Found";
	else if ((length = run(program, *query ? query + 1 : query, body)) < 0) {
		status = "500 Internal Server Error";
		length = 0;
	}
	/* The head goes right before the body, so that one write sends both. */
	char text[128];
	int size = snprintf(text, sizeof text, "HTTP/1.1 %s\r\nContent-Length: %zd\r\n\r\n", status, length);
	memcpy(body - size, text, (size_t)size);
	size_t all = (size_t)size + (size_t)length;
	return send(client, body - size, all, MSG_NOSIGNAL) == (ssize_t)all ? 0 : -1;
}

static void *serve(void *argument)
{
	int client = (int)(long)argument, on = 1;
	char head[HEAD_BYTES];
	size_t used = 0;
	ssize_t got;

	setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
	while ((got = recv(client, head + used, sizeof head - 1 - used, 0)) > 0) {
		used += (size_t)got;
		head[used] = '\0';
		/* One request at a time: the client sends the next after the answer. */
		if (strstr(head, "\r\n\r\n") != NULL) {
			if (answer(client, head) != 0)
				break;
			used = 0;
		}
	}
	close(client);
	return NULL;
}

int main(int argc, char **argv)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t length = sizeof address;
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	pthread_attr_t attributes;
	pthread_t thread;

	program_count = argc - 1;
	programs = argv + 1;
	if (bind(listener, (struct sockaddr *)&address, sizeof address) != 0 || listen(listener, 1024) != 0 ||
	    getsockname(listener, (struct sockaddr *)&address, &length) != 0) {
		perror("cgi");
		return 1;
	}
	printf("http://127.0.0.1:%d\n", ntohs(address.sin_port));
	fflush(stdout);
	pthread_attr_init(&attributes);
	pthread_attr_setstacksize(&attributes, STACK_BYTES);
	pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
	for (;;) {
		int client = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
		if (client >= 0 && pthread_create(&thread, &attributes, serve, (void *)(long)client) != 0)
			close(client);
	}
}
