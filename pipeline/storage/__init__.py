"""Files on local disk, on S3 and on the model hub."""
