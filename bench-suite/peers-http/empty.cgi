#!/bin/sh
# The smallest CGI program: a head and no body.
printf 'Content-Type: text/plain\r\n\r\n'
