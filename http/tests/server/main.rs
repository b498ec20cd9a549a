//! The program from outside: started as its users start it, asked over sockets, ended by signals.

mod admin;
mod commands;
mod engine;
mod examples;
mod hostile;
mod isolation;
mod preemption;
mod protocol;
mod scheduling;
mod slow_clients;
mod support;
mod top;
