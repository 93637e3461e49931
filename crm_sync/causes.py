"""The catalogue of causes: what a bookkeeper reads when something could not be delivered.

A connector names a cause by its key; nothing else in the product words a failure. `{detail}` in a
text stands for what the failure is about: a field, an address, a permission.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from django.utils.translation import gettext_lazy as _

if TYPE_CHECKING:
    from django.utils.functional import _StrOrPromise

Fix = Literal["customer_email", "mapping", "connection", ""]


@dataclass(frozen=True, slots=True)
class Cause:
    """One kind of failure: its title, what happened, what to do next, what can be mended here."""

    title: _StrOrPromise
    explanation: _StrOrPromise
    next_step: _StrOrPromise
    fix: Fix = ""


_WAIT = _("Nothing to do: it is tried again by itself.")
_MEND_AND_RESUME = _("Mend the connection's settings; everything that waits then leaves by itself.")

CAUSES: dict[str, Cause] = {
    # --- Any system ------------------------------------------------------------------------
    "rate_limit": Cause(
        _("The system asked us to slow down"),
        _("More was sent than the system takes in a short time. The whole connection waits."),
        _WAIT,
    ),
    "daily_limit": Cause(
        _("The daily limit of the system is used up"),
        _("The account may make no more calls today. The whole connection waits until tomorrow."),
        _("Nothing to do today. If it happens often, ask the vendor for a higher limit."),
    ),
    "unreachable": Cause(
        _("The system cannot be reached"),
        _("No connection came about, so nothing has arrived there."),
        _WAIT,
    ),
    "no_answer": Cause(
        _("The system did not answer"),
        _("The call was made but no answer came back in time, or the system reported a fault."),
        _WAIT,
    ),
    "bad_answer": Cause(
        _("The system gave an answer that cannot be understood"),
        _("A web page or half a text came back where data was expected."),
        _WAIT,
    ),
    "access_refused": Cause(
        _("Access was refused"),
        _("The key or the password is no longer valid: it was revoked, changed or has expired."),
        _("Enter a new key in the connection's settings; everything that waits then leaves."),
        "connection",
    ),
    "access_renewal": Cause(
        _("The access is being renewed"),
        _("Another worker is fetching a new access token. The whole connection waits a moment."),
        _WAIT,
    ),
    "missing_scope": Cause(
        _("A permission is missing"),
        _("The key does not allow what is needed: {detail}."),
        _("Give the key this permission in the other system, then resume the connection."),
        "connection",
    ),
    "private_address": Cause(
        _("The address leads into our own network"),
        _("Calls to internal addresses are not allowed, so nothing was sent."),
        _MEND_AND_RESUME,
        "connection",
    ),
    "crashed": Cause(
        _("It stopped our worker several times"),
        _("The program ended without a word five times while it worked on this one."),
        _("Tell your administrator. Retry it once the reason is known."),
    ),
    "lease_ran_out": Cause(
        _("The time for this batch was up"),
        _("The deliveries before it took so long that this one was not begun."),
        _WAIT,
    ),
    "internal_error": Cause(
        _("Our own program made a mistake"),
        _("Something that should not happen did. The administrator's log says where."),
        _("Tell your administrator; it is tried again by itself meanwhile."),
    ),
    "unknown": Cause(
        _("The system reported a problem that we have no words for yet"),
        _("Its own message stands below, as it came."),
        _("Read the message, mend what it names, and retry."),
    ),
    # --- Mappings --------------------------------------------------------------------------
    "mapping.unknown_placeholder": Cause(
        _("A text of the mapping names something that does not exist"),
        _("There is nothing called {detail} that could be put into the text."),
        _("Correct the text in the mapping, then resume the connection."),
        "mapping",
    ),
    "mapping.unknown_field": Cause(
        _("The mapping names a field of ours that does not exist"),
        _("We have no field called {detail}."),
        _("Choose another field in the mapping, then resume the connection."),
        "mapping",
    ),
    # --- CRM -------------------------------------------------------------------------------
    "crm.wait_for_search": Cause(
        _("Waiting until the CRM's search knows the new record"),
        _("It is not known whether the record was created, and the CRM's search is a little late."),
        _WAIT,
    ),
    "crm.record_deleted": Cause(
        _("The record was deleted in the CRM"),
        _("Somebody deleted record {detail} again after we had created it anew once."),
        _("Retry to create it once more, or ignore it if it is not wanted."),
    ),
    "crm.nothing_said": Cause(
        _("The CRM left this record out of its answer"),
        _("It answered for the others of the same batch but not for this one."),
        _WAIT,
    ),
    "hubspot.unknown_property": Cause(
        _("HubSpot has no property '{detail}'"),
        _("The mapping fills the property '{detail}', which does not exist in this portal."),
        _("Create the property in HubSpot or change the mapping, then retry."),
        "mapping",
    ),
    "hubspot.read_only_property": Cause(
        _("HubSpot calculates the property '{detail}' itself"),
        _("The mapping fills the property '{detail}', but HubSpot lets nobody write it."),
        _("Change the mapping, then retry."),
        "mapping",
    ),
    "hubspot.invalid_option": Cause(
        _("HubSpot does not offer this choice for '{detail}'"),
        _("The property '{detail}' takes only the values of its list, and ours is not among them."),
        _("Add the value in HubSpot or translate it in the mapping, then retry."),
        "mapping",
    ),
    "hubspot.invalid_email": Cause(
        _("HubSpot refuses the e-mail address {detail}"),
        _("HubSpot checks addresses more strictly than the payment provider does."),
        _("Correct the customer's e-mail address; it is sent again at once."),
        "customer_email",
    ),
    "hubspot.invalid_number": Cause(
        _("HubSpot expects a number in '{detail}'"),
        _("The value that the mapping gives for '{detail}' is no number."),
        _("Change the mapping, then retry."),
        "mapping",
    ),
    "hubspot.invalid_date": Cause(
        _("HubSpot expects a date in '{detail}'"),
        _("The value that the mapping gives for '{detail}' is not the kind of date it takes."),
        _("Change the mapping, then retry."),
        "mapping",
    ),
    "hubspot.invalid_value": Cause(
        _("HubSpot refuses the value of '{detail}'"),
        _("A rule of this portal does not allow the value. Its own message says which rule."),
        _("Change the rule in HubSpot or the mapping here, then retry."),
        "mapping",
    ),
    "hubspot.missing_property": Cause(
        _("HubSpot requires the property '{detail}'"),
        _("This portal does not accept the record without a value in '{detail}'."),
        _("Fill it through the mapping or make it optional in HubSpot, then retry."),
        "mapping",
    ),
    "hubspot.unknown_stage": Cause(
        _("HubSpot has no such pipeline or stage"),
        _("The pipeline or stage {detail} of the connection's settings is gone."),
        _("Choose pipeline and stages anew in the connection's settings, then retry."),
        "connection",
    ),
    "hubspot.value_taken": Cause(
        _("Another HubSpot record already has this '{detail}'"),
        _("The value must be unique in HubSpot and belongs to another record."),
        _("Merge the two records in HubSpot, then retry."),
    ),
    "hubspot.refused": Cause(
        _("HubSpot refused the record"),
        _("HubSpot understood the call and said no. Its own message stands below."),
        _("Read the message, mend what it names, and retry."),
    ),
    # --- Messages and e-mail ----------------------------------------------------------------
    "message.unsure": Cause(
        _("It is not known whether the message arrived"),
        _("The connection broke after the message had been handed over, before it was confirmed."),
        _("Ask the recipient or look into the mail server's log; then send again or close it."),
    ),
    "email.address_refused": Cause(
        _("The mailbox {detail} does not exist or takes no mail"),
        _("The recipient's mail server refused the address for good."),
        _("Correct the customer's e-mail address; the message is then sent at once."),
        "customer_email",
    ),
    "email.team_address_refused": Cause(
        _("None of the team's addresses takes mail: {detail}"),
        _("The mail server refused every address that notices to the team go to."),
        _("Correct the team's addresses in the settings of the connection, then retry."),
        "connection",
    ),
    "email.no_address": Cause(
        _("The customer has no e-mail address"),
        _("Neither the payment nor the customer names an address to write to."),
        _("Add the customer's e-mail address, then retry; or ignore it."),
        "customer_email",
    ),
    "email.content_refused": Cause(
        _("The mail server refused the message itself"),
        _("The recipient was accepted but the message was not, mostly as supposed spam."),
        _("Read the server's message; mend the text or the sender's domain, then retry."),
    ),
    "email.sender_refused": Cause(
        _("The mail server refuses our sender address"),
        _("This account may not send mail in the name of the configured sender."),
        _MEND_AND_RESUME,
        "connection",
    ),
    "email.relay_refused": Cause(
        _("The mail server does not send mail to the outside for us"),
        _("It takes our messages for its own domains only."),
        _("Give the connection a user and password of that server, or another server."),
        "connection",
    ),
    "email.login_refused": Cause(
        _("The mail server refused our login"),
        _("The user name or the password is wrong, or an app password is needed."),
        _MEND_AND_RESUME,
        "connection",
    ),
    "email.no_login": Cause(
        _("The mail server offers no login"),
        _("A user is configured, but the server does not let anybody log in on this port."),
        _MEND_AND_RESUME,
        "connection",
    ),
    "email.no_encryption": Cause(
        _("The mail server offers no encryption"),
        _("The connection asks for encryption, but the server cannot do it on this port."),
        _MEND_AND_RESUME,
        "connection",
    ),
    "email.certificate": Cause(
        _("The mail server's certificate cannot be trusted"),
        _("It belongs to another name, has expired, or nobody we know vouches for it."),
        _("Check the server's name in the settings, or have its certificate renewed."),
        "connection",
    ),
    "email.private_address": Cause(
        _("The mail server's address leads into our own network"),
        _("Calls to internal addresses are not allowed, so nothing was sent."),
        _MEND_AND_RESUME,
        "connection",
    ),
    "email.server_refused": Cause(
        _("The mail server refuses to talk to us"),
        _("It ended the conversation before it began, mostly because it does not know us."),
        _MEND_AND_RESUME,
        "connection",
    ),
    "email.folder": Cause(
        _("The folder {detail} cannot be written to"),
        _("No mail server is configured, so messages become files there; that did not work."),
        _("Free the disk or mend the folder's permissions, or name a mail server; then resume."),
        "connection",
    ),
    "email.quota": Cause(
        _("The mail account's sending limit is used up"),
        _("The mail server takes no more messages from this account for now."),
        _WAIT,
    ),
    "email.unreachable": Cause(
        _("The mail server does not answer"),
        _("It cannot be reached, or it is too busy to talk to us."),
        _WAIT,
    ),
    "email.try_later": Cause(
        _("The mail server asks us to try later"),
        _("The mailbox {detail} is full or greylisted for the moment."),
        _WAIT,
    ),
}
