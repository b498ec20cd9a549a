//! PolyBench measures.
