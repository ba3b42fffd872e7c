"""What a site has spent of its patients' privacy, on disk; nothing is sent that was not charged."""
