"""What a model says of records that were changed on purpose: clinical derangements and errors of entry."""
