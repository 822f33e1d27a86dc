"""Files in and out: finding pictures, decoding and encoding them with all they carry, writing them safely."""
