"""What the service keeps and hands back: table files, byte for byte."""
