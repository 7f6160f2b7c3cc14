"""HTTP beside Discord: the whiteboard, the studio and the API."""
