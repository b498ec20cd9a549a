//! Moves between registers, memory and constants. None of them changes the flags.
