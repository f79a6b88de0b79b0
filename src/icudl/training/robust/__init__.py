"""Training against wrong and missing values: records that are altered in every epoch, and changes sought on purpose."""
