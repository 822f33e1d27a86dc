"""A loaded model on a device, and how a picture of any size goes through it."""
