"""What tests do with a page in a browser."""


def row(page, name):
    return page.locator(".moi-item", has=page.locator(f".moi-name:text-is('{name}')")).last


def press_twice(page, button, after):
    """Double click, slowly enough for the page to change in between."""
    box = button.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    for count in (1, 2):
        page.mouse.down(click_count=count)
        page.mouse.up(click_count=count)
        after()
