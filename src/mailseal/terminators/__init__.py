"""What can stand in front of a service and speak TLS. One file a program."""
