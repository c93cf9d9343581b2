"""A claim on any run that is measured."""

from bigloop.analysis.claims.evidence import Evidence, claims_of


def bright(tables):
    for (run, measure), rows in tables.rows.items():
        if measure == "brightness":
            yield Evidence(
                f"{run}: {rows['value'].min():.3f}", bool((rows["value"] > 0).all()), p=0.0, runs=(run,)
            )


CLAIMS = claims_of("A test", [("is-bright", "Brightness is above 0.", bright)])
