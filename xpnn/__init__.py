"""Neural networks on any array library that speaks the Array API standard."""
