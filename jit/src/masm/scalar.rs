//! Integer and float operators, loads and stores.
