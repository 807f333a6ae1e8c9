def median(numbers):
    """The middle of the numbers, or the mean of the two in the middle."""
    return numbers[len(numbers) // 2]
