"""The room that uploads: a body is an object as a stream, a part a piece of a large one, a store believes S3 alone."""
