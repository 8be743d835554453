from sipdomains import contracts, sids


def test_contract_messages_survive_the_wire() -> None:
    message = contracts.FetchDocument(
        request_id="r", node="n", call_sid="CA", account_sid="AC", url="http://x/", method="POST",
        parameters=[("a", "1"), ("a", "2")], deadline=1.5,
    )  # fmt: skip
    assert contracts.from_wire(contracts.to_wire(message)) == message


def test_sid_form() -> None:
    assert sids.is_sid(sids.make(sids.CALL, bytes(16)), sids.CALL)
    assert not sids.is_sid("CA" + "G" * 32)
