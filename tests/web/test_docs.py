"""The page of the OpenAPI description in a real browser: it draws itself, and its policy lets all of it through."""

from .browser import until


def test_the_description_is_drawn_with_every_path_and_without_a_complaint(driver, address):
    driver.get_log("browser")  # of other tests
    driver.get(f"{address}docs")
    until(lambda: len(driver.find_elements("css selector", ".opblock")) == 6)
    assert driver.find_element("css selector", ".info .title").text.startswith("Quietwire")
    assert [line["message"] for line in driver.get_log("browser")] == []
