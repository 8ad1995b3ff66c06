//! The pages over a real database, asked for as browsers do.
