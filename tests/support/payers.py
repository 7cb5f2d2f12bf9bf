"""What a payer does on the checkout page."""

from playwright.async_api import Page

PAY = ".payment button.primary"


async def enter_card(page: Page, number: str = "4242424242424242") -> None:
    """Fill in a card, valid for years."""
    await page.get_by_label("Card number").fill(number)
    await page.get_by_label("Expiry date").fill("12/34")
    await page.get_by_label("Security code").fill("123")


async def enter_account(page: Page, number: str) -> None:
    """Choose the bank, and fill in an account."""
    await page.get_by_text("Bank account", exact=True).click()
    await page.get_by_label("Routing number").fill("110000000")
    await page.get_by_label("Account number").fill(number)


async def pay(page: Page) -> None:
    """Press the button."""
    await page.locator(PAY).click()


async def heading(page: Page) -> str:
    """The page's main heading."""
    return (await page.locator("h1").inner_text()).strip()


async def error_of(page: Page, name: str) -> str:
    """What is said about a field, found the way assistive technology finds it."""
    control = page.locator(f"#{name}")
    assert await control.get_attribute("aria-invalid") == "true"
    described = await control.get_attribute("aria-describedby")
    return (await page.locator(f"#{described}").inner_text()).strip()
