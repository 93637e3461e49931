"""What people look at. Reads every floor below and never changes money."""
