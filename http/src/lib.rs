//! HTTP front of Luge.

pub mod h1;
