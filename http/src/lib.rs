//! HTTP front of Luge.
