"""What a region does with messages: knows which wait, hands them out, deals with their failures, fetches those sent."""
