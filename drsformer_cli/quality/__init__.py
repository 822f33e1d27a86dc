"""How good a restored picture is."""
