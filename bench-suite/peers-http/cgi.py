"""A CGI server: each request starts the program `empty.cgi` of this folder as a process of its own (RFC 3875).

    python3 cgi.py

It is the server of Python's standard library (until Python 3.14), told that every path is that program. It listens on a
port of the system's choice, on loopback, prints its address, and closes each connection after its answer, as HTTP/1.0 does.
"""

import os
from http.server import CGIHTTPRequestHandler, ThreadingHTTPServer


class Handler(CGIHTTPRequestHandler):
    # A process of another user could not be started from every folder.
    have_fork = False

    def is_cgi(self):
        self.cgi_info = ("", "empty.cgi")
        return True

    def is_python(self, path):
        return False

    def log_message(self, *arguments):
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128


if __name__ == "__main__":
    os.chdir(os.path.dirname(os.path.abspath(__file__)))
    with Server(("127.0.0.1", 0), Handler) as server:
        print(f"http://127.0.0.1:{server.server_address[1]}", flush=True)
        server.serve_forever()
