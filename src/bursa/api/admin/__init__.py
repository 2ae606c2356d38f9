"""What those who mind accounts may see and change, over HTTP. Behind the door `admin`."""
